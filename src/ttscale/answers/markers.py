"""The words that announce an answer, by language, and those that announce none. Tables; ``extraction.py`` uses them."""

from __future__ import annotations

import re

_NOUNS = """
réponse(?: finale| correcte)?|reponse|respuesta(?: final| correcta)?|resultado(?: final)?|résultat(?: final)?|
soluci[óo]n|结果|結果|正解|antwort|
endergebnis|ergebnis|lösung|ответ|итоговый ответ|resposta(?: final)?|risposta(?: finale)?|odpowiedź|
cevap|đáp án|svar|antwoord|jawaban|الجواب|الإجابة|उत्तर|故?答案[为為是]?|故[选選]|最终答案|最終答案|答え|解答|答|정답|답
"""
"""Nouns that stand before a colon. Written in small letters; capitals do not matter."""
HAN = "\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af"
APART = rf"(?:(?<![^\W_])|(?<=[{HAN}]))"
"""Where a marker may begin: not within a word, of languages that space their words."""
NOUN = "(?:" + _NOUNS.replace("\n", "") + ")"
ENGLISH_NOUN = (
    "(?:answer|ans|(?:final )?result|final value|(?:correct|right|best|my) (?:option|choice)|(?P<solution>solution))"
)
_STEMS = """résultat soluci 选 選 结果 結果
répons repons respuest resultado antwort ergebnis lösung ответ respost rispost odpowied cevap đáp svar
antwoord jawaban الجواب الإجابة उत्तर 答 正解 정답 답"""
STEMS = tuple(_STEMS.split())
"""A text without any of these has no marker in these languages, which is quicker to find out than to search."""
ASCII_STEMS = tuple(stem for stem in STEMS if stem.isascii())

_SAYINGS = r"""
(?:la |ma )?réponse(?: finale| correcte)?(?: à [^\n.:=]{1,60})? est|la respuesta(?: final| correcta)? es|
el resultado es|la solución es|le résultat est|die lösung (?:ist|lautet)|
die (?:richtige |endgültige )?antwort (?:ist|lautet)(?: also| daher| somit)?|das ergebnis (?:ist|lautet|beträgt)|
a resposta(?: final| correta)? é|la risposta(?: finale| corretta)? è|правильный ответ(?: —| -|:)|ответ(?: —|
 -|:)|故[选選](?:择)?|
(?<![不未])(?:应|應)?[选選][择擇]?(?= ?[（(]?[A-J](?![A-Za-z]))|
故?(?:最终|最終|正确|正確)?答案(?:选择|應該|应该|應|应|就)?[是为為选選]|(?:最終的な|正解の)?答え?は|
正解は|정답은|답은|최종 답은|उत्तर है|الجواب هو|الإجابة هي|odpowiedź to|jawabannya adalah|đáp án là
"""
"""Sentences that give an answer in other languages than English."""
SAYING = "(?:" + _SAYINGS.replace("\n", "") + ")"

_CONCLUDING = """
en conclusion|au total|therefore|thus|hence|so|in total|altogether|in conclusion|finally|consequently|
overall|we (?:find|get|have|obtain|conclude)|donc|ainsi|finalement|por lo tanto|por tanto|así que|entonces|
portanto|logo|quindi|dunque|also|somit|daher|folglich|insgesamt|итак|таким образом|следовательно|значит|
поэтому|всего
"""
_UNSPACED = (
    "所以|因此|因而|总共|總共|一共|共有|结论|結論|综上|したがって|よって|つまり|따라서|그러므로|لذا|لذلك|إذن|इसलिए|अतः"
)
CONCLUDING = re.compile(rf"(?<!\w)(?:{_CONCLUDING.replace(chr(10), '')})(?!\w)|{_UNSPACED}", re.IGNORECASE)
"""Words that open the last sentence of a reply that never says "answer"."""

COPULA = re.compile(
    r"(?:(?<![A-Za-z])(?:is|are|was|were|be|equals?|makes|gives|est|es|ist|é|è|sont|son|sind|beträgt)(?![A-Za-z])|"
    r"'s(?= )|[是为為]|等于|等於|=|هو|هي|है)\s*(?:de\s|equal to\s|exactly\s|about\s|approximately\s)?\s*",
    re.IGNORECASE,
)
"""What stands between a thing and its value."""

REFUSED = re.compile(
    r"(?:not|that|whether|unknown|unclear|wrong|incorrect|correct|right|clear|simple|obvious|as|to|in|obtained|found|"
    r"given|also|still|the same|considered|undefined behaviou?r)(?![A-Za-z])",
    re.IGNORECASE,
)
"""The answer is not 5; the answer is correct."""

_SHORT = """
Mr Mrs Ms Dr St Mt Ft Jr Sr Prof Rs Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec Gen Col Capt Lt Sgt Gov Sen Rep
Pres Rev Hon approx ca vs etc No Nos Vol Fig Eq Ch pp Ave Blvd Rd Co Inc Ltd Corp Maj Cmdr e.g i.e a.m p.m cf resp sq
cu al Ph.D
"""
SHORT_UNITS = frozenset(
    ["ft", "in", "lb", "lbs", "oz", "hr", "hrs", "min", "mins", "sec", "secs", "yd", "yds", "mi", "deg"]
)
"""Units whose full stop ends no sentence before a number: 3 ft. 2 in."""
ABBREVIATIONS = frozenset(_SHORT.split())
"""Words whose full stop ends no sentence (public lists of sentence splitters have these; "no" and "art" are words)."""
