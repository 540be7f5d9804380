#!/usr/bin/env python3
"""Time from POST /whep to the first decoded picture in headless Chromium, on loopback.

usage: scripts/first-frame.py [BINARY] [RUNS]      target/release/fanlight, 20

Opens the daemon's own page anew each time; a script that runs before the page notes when
  answer   the reply to the POST is there
  dtls     the connection is up
  decoded  the first VideoFrame comes out of the decoder (MediaStreamTrackProcessor)
  shown    the page's <video> has shown it (requestVideoFrameCallback, on a 60 Hz grid)
for a stream that is idle before each run (cold), and for one that runs all the time unwatched (warm).
Needs chromium and chromedriver, as the tests do.
"""
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

BINARY = sys.argv[1] if len(sys.argv) > 1 else "target/release/fanlight"
RUNS = int(sys.argv[2]) if len(sys.argv) > 2 else 20
MARKS = ("answer", "dtls", "decoded", "shown")
FLAGS = "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking disable-sync".split()

INJECT = r"""
if (location.protocol !== 'about:') {
  const marks = window.marks = {};
  const mark = (name) => { marks[name] ??= performance.now(); };
  const original = window.fetch;
  window.fetch = async (url, init) => {
    const isOffer = init?.method === 'POST' && String(url).includes('whep');
    if (isOffer) mark('post');
    const reply = await original(url, init);
    if (isOffer) mark('answer');
    return reply;
  };
  window.RTCPeerConnection = class extends window.RTCPeerConnection {
    constructor(...given) {
      super(...given);
      this.addEventListener('connectionstatechange', () => {
        if (this.connectionState === 'connected') mark('dtls');
      });
      this.addEventListener('track', async ({ track }) => {
        const reader = new MediaStreamTrackProcessor({ track: track.clone() }).readable.getReader();
        const { value } = await reader.read();
        mark('decoded');
        value.close();
        reader.cancel();
      });
    }
  };
  document.addEventListener('DOMContentLoaded', () => {
    new MutationObserver((_, observer) => {
      const video = document.querySelector('video');
      if (!video) return;
      observer.disconnect();
      video.requestVideoFrameCallback(() => mark('shown'));
    }).observe(document, { childList: true, subtree: true });
  });
}
"""


def until(what):
    end = time.monotonic() + 30
    while time.monotonic() < end:
        value = what()
        if value:
            return value
        time.sleep(0.05)
    sys.exit("first-frame: it takes too long")


class Browser:
    """Chromium by chromedriver, which ends with the shell that holds it."""

    def __init__(self, folder):
        command = ["sh", "-c", "chromedriver --port=0 & read -r _; kill -KILL 0"]
        pipe = subprocess.PIPE
        self.shell = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True, process_group=0,
            env=dict(os.environ, TMPDIR=folder))
        port = next(m[1] for line in self.shell.stdout if (m := re.search(r"successfully on port (\d+)", line)))
        self.base = f"http://127.0.0.1:{port}/session"
        flags = [f"--{flag}" for flag in FLAGS] + [f"--user-data-dir={folder}/profile"]
        options = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": {"args": flags}}}}
        self.base += "/" + self.post("", options)["sessionId"]
        self.post("/goog/cdp/execute", {"cmd": "Page.addScriptToEvaluateOnNewDocument", "params": {"source": INJECT}})

    def post(self, path, body):
        request = urllib.request.Request(self.base + path, json.dumps(body).encode(), method="POST")
        return json.load(urllib.request.urlopen(request, timeout=60))["value"]

    def open(self, url):
        self.post("/url", {"url": url})

    def marks(self):
        script = "return window.marks?.decoded && window.marks.shown ? window.marks : null"
        return self.post("/execute/sync", {"script": script, "args": []})

    def end(self):
        self.shell.stdin.close()
        self.shell.wait()


def measure(mode, setting):
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        config = f"{folder}/fanlight.toml"
        with open(config, "w") as file:
            file.write(f'[http]\nlisten = "127.0.0.1:0"\n[auth]\nmode = "none"\n[[stream]]\nname = "camera"\npattern = true\n{setting}\n')
        daemon = subprocess.Popen(
            [BINARY, "--config", config], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env=dict(os.environ, STATE_DIRECTORY=f"{folder}/state"))
        browser = Browser(folder)
        try:
            url = daemon.stdout.readline().split()[-1]

            def is_at_rest():
                stream = json.load(urllib.request.urlopen(url + "api/streams"))["streams"][0]
                return stream["viewers"] == 0 and (mode == "warm" or stream["state"] == "idle")

            runs = []
            for run in range(RUNS + 1):  # the first fills the browser's caches and does not count
                until(is_at_rest)
                time.sleep(0.5 + run % 7 * 0.037)  # out of step with keyframes
                browser.open(url)
                runs.append(until(browser.marks))
                browser.open("about:blank")
        finally:
            browser.end()
            daemon.terminate()
            daemon.wait()
    print(f"{mode}: milliseconds from POST, {RUNS} runs")
    for mark in MARKS:
        values = [run[mark] - run["post"] for run in runs[1:]]
        print(f"  {mark:8} median {statistics.median(values):6.1f}   max {max(values):6.1f}")


for mode, setting in (("cold", 'linger = "0s"'), ("warm", "always_on = true")):
    measure(mode, setting)
