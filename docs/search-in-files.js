// Where pages are files a browser allows no worker: the search runs in a hidden frame instead.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      const inside = frame.contentWindow;
      inside.postMessage = data => this.dispatchEvent(new MessageEvent("message", {data}));
      const script = frame.contentDocument.createElement("script");
      const loaded = new Promise(resolve => script.addEventListener("load", resolve));
      script.src = url;
      frame.contentDocument.body.append(script);
      this.postMessage = data => loaded.then(() => inside.dispatchEvent(new MessageEvent("message", {data})));
    }
  };
}
