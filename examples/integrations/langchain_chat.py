"""LangChain: a chat model whose calls are searches, in a chain. (The bundled model: arithmetic only.)"""

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate

from ttscale.integrations.langchain import ChatTtscale
from ttscale.integrations.searcher import Searcher

chain = ChatPromptTemplate([("user", "Compute {formula}")]) | ChatTtscale(searcher=Searcher()) | StrOutputParser()
print(chain.invoke({"formula": "(17 + 5) * 3 - 48"}))
