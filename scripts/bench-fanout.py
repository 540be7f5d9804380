#!/usr/bin/env python3
"""What one more viewer costs: CPU time, memory, and how long viewers wait, by their number. Loopback only; ends by itself.

Each row is a run of its own: the daemon with `pattern = "noise"` (1280x720, 30 fps, 2.5 Mbit/s, 2 s between keyframes),
watched by examples/load; then examples/floor, which sends the same packets to as many sockets and does nothing else.
Then 200 viewers who come within a second. Method and figures: docs/measurements.md. Another server that is on the PATH
(mediamtx, go2rtc) is measured beside it: it takes the daemon's stream by WHEP and serves it on.

CPU times hardly mind what else the machine does, times of arrival do: the column `others` says how busy other programs
kept the machine. Repeat, and take the medians (--repeat).
"""
import argparse
import json
import os
import platform
import re
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RELEASE = os.path.join(ROOT, "target/release")
STREAM = """
[http]
listen = "127.0.0.1:0"
[auth]
mode = "none"
[[stream]]
name = "noise"
always_on = true
"""
NOISE = STREAM + 'pattern = "noise"\nkeyframe_interval = "2s"\n'
# Next to no media: what is left is the cost of joining.
QUIET = STREAM + 'pattern = true\nsize = "320x180"\nfps = 1\nkeyframe_interval = "60s"\n'
WARM_UP = 3
STORM = 200


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("viewers", nargs="*", type=int, help="how many, a row each (10 50 100 200 400 1000)")
    add("--seconds", type=int, default=10, help="measured for each row (10)")
    add("--repeat", type=int, default=1, metavar="N", help="make each row N times and show the medians (1)")
    add("--receive", choices=["offload", "single", "eager"], default="single", help="how viewers receive, see load --help (single)")
    add("--daemon", default=os.path.join(RELEASE, "fanlight"), metavar="FILE", help="another binary, which is not built")
    add("--no-storm", action="store_true", help="without the 200 who come within a second")
    add("--no-build", action="store_true", help="take what is built already")
    add("--json", metavar="FILE", help="write everything there is to this file too")
    options = parser.parse_args()
    options.viewers = options.viewers or [10, 50, 100, 200, 400, 1000]
    if min(options.viewers) < 1 or max(options.viewers) > 10_000:
        parser.error("from 1 to 10000 viewers")
    if not 1 <= options.seconds <= 3600 or not 1 <= options.repeat <= 100:
        parser.error("from 1 to 3600 seconds, from 1 to 100 times")
    return options


def say(text):
    print(text, file=sys.stderr, flush=True)


def allow_sockets(viewers):
    """For the load generator, which inherits it, with a clear word where it can't be."""
    wanted = 2 * viewers + 1024
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        sys.exit(f"bench: {viewers} viewers need {wanted} open files and this user may have {hard}: raise `ulimit -Hn`")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def favour():
    """Before other programs, where that is allowed."""
    try:
        os.nice(-5)
    except PermissionError:
        pass


class Server:
    """A process that is ended with the block, whatever happens in it."""

    def __init__(self, command, work, ready, env=None):
        self.log = os.path.join(work, os.path.basename(command[0]) + ".log")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=work, env=env, preexec_fn=favour)
        self.pid = self.process.pid
        self.ready = ready

    def __enter__(self):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.process.poll() is None:
            if found := self.ready(self):
                self.url = found
                return self
            time.sleep(0.05)
        self.__exit__()
        with open(self.log, errors="replace") as log:
            raise RuntimeError(f"{self.process.args[0]} did not start:\n{log.read()[-2000:]}")

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def cpu(self):
        with open(f"/proc/{self.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def daemon(binary, work, config):
    path = os.path.join(work, "fanlight.toml")
    with open(path, "w") as file:
        file.write(config)

    def ready(server):
        with open(server.log, errors="replace") as log:
            found = re.search(r"^fanlight: open (\S+)", log.read(), re.M)
        return found and found[1]

    env = dict(os.environ, STATE_DIRECTORY=os.path.join(work, "state"), RUST_LOG="warn")
    return Server([binary, "--config", path], work, ready, env)


def run(command, seconds):
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=seconds + 120, preexec_fn=favour)
    try:
        return json.loads(done.stdout)
    except ValueError:
        raise RuntimeError(f"{command[0]} failed with status {done.returncode}") from None


def busy():
    with open("/proc/stat") as stat:
        times = [int(field) for field in stat.readline().split()[1:9]]
    return (sum(times) - times[3] - times[4]) / os.sysconf("SC_CLK_TCK")


def load(server, url, options, viewers, ramp, seconds, trace=None, metrics=True):
    """One run of the load generator, with the part of the machine that other programs took meanwhile, in percent."""
    command = [os.path.join(RELEASE, "examples/load"), url, "--json", "--receive", options.receive, "--pid", str(server.pid)]
    command += ["--viewers", str(viewers), "--ramp", str(ramp), "--seconds", str(seconds)]
    command += ["--metrics", server.url + "metrics"] if metrics else []
    command += ["--trace", trace] if trace else []

    def children():
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = time.monotonic(), busy() - server.cpu() - children()
    report = run(command, ramp + seconds)
    after = time.monotonic(), busy() - server.cpu() - children()
    cores = (after[1] - before[1]) / (after[0] - before[0])
    report["others_percent"] = max(0.0, cores * 100 / os.cpu_count())
    return report


def quantile(counters, name, part):
    """The bound of the bucket that holds that part, in milliseconds; None without such a histogram."""
    buckets = {}
    for key, count in counters.items():
        if found := re.match(name + r'_bucket\{.*le="([^"]+)"', key):
            buckets[float(found[1])] = buckets.get(float(found[1]), 0) + count
    wanted = max(buckets.values(), default=0) * part
    bounds = [bound for bound, count in sorted(buckets.items()) if count >= wanted]
    return bounds[0] * 1000 if buckets else None


def total(counters, *names):
    return int(sum(value for key, value in counters.items() if key.split("{")[0] in names))


def fan_out(options, work, viewers):
    """A row: the daemon with that many viewers, and the floor."""
    trace = os.path.join(work, "trace")
    ramp = max(1, viewers / 100)
    with daemon(options.daemon, work, NOISE) as server:
        time.sleep(WARM_UP)
        report = load(server, server.url + "whep", options, viewers, ramp, options.seconds, trace)
    floor = [os.path.join(RELEASE, "examples/floor"), trace, "--json", "--receive", options.receive]
    floor = run(floor + ["--viewers", str(viewers), "--seconds", str(options.seconds)], options.seconds)
    measured, joining = report["server_counters"], report["joining"]["server_counters"]
    both = {key: measured.get(key, 0) + joining.get(key, 0) for key in {**measured, **joining}}
    threads = report["server_threads"]
    seconds, packets = report["conditions"]["measured_s"], report["measured"]["packets"]
    sources = sum(thread["cpu_percent"] for name, thread in threads.items() if name[:4] in ("cap-", "enc-"))
    rest = (report["server"]["cpu_percent"] - sources) / 100 * seconds * 1e6 / max(1, packets)
    return {
        "viewers": viewers,
        "playing": report["playing"],
        "packets_per_s": packets / seconds,
        "others_percent": report["others_percent"],
        "media_us": threads["media"]["cpu_us_per_packet"],
        "process_us": rest,
        "floor_us": floor["cpu_us_per_packet"],
        "ratio": rest / floor["cpu_us_per_packet"],
        "load_us": report["generator"]["cpu_us_per_packet"],
        "rss_kb_per_viewer": report["server"]["memory_bytes_per_viewer"] / 1000,
        "lost": report["whole"]["lost"],
        "lost_daemon": total(both, "fanlight_send_errors_total"),
        "lost_load": report["dropped_here"],
        "skipped": total(both, "fanlight_frames_dropped_total", "fanlight_pictures_skipped_total"),
        "first_keyframe_ms": report["since_post"]["first_keyframe"],
        "latency_ms": [quantile(measured, "fanlight_latency_seconds", part) for part in (0.5, 0.99)],
        "first_ms": [quantile(measured, "fanlight_fan_out_first_seconds", part) for part in (0.5, 0.99)],
        "last_ms": [quantile(measured, "fanlight_fan_out_last_seconds", part) for part in (0.5, 0.99)],
        "spread_ms": report["frame_spread"],
        "age_ms": report["frame_age"],
        "floor": floor,
        "load": report,
    }


def storm(options, work):
    """Many who come within a second: how long until all play, keyframes meanwhile; then what a join costs."""
    with daemon(options.daemon, work, NOISE) as server:
        time.sleep(WARM_UP)
        report = load(server, server.url + "whep", options, STORM, 1, 1)
    with daemon(options.daemon, work, QUIET) as server:
        time.sleep(WARM_UP)
        quiet = load(server, server.url + "whep", options, STORM, 1, 5)
    joining = report["joining"]
    base = quiet["server"]["cpu_percent"] / 100 * quiet["joining"]["seconds"]
    return {
        "viewers": STORM,
        "playing": report["playing"],
        "others_percent": report["others_percent"],
        "until_all_play_s": joining["until_all_play_s"],
        "keyframes": total(joining["server_counters"], "fanlight_keyframes_total"),
        "keyframe_requests": total(joining["server_counters"], "fanlight_keyframe_requests_total"),
        "first_keyframe_ms": report["since_post"]["first_keyframe"],
        "cpu_ms_per_join": (quiet["joining"]["server_cpu_s"] - base) * 1000 / STORM,
        "load": report,
        "quiet": quiet,
    }


def others(options, work):
    """Rows of other servers that are here."""
    rows = []
    for name, config, address, path in (
        # https://mediamtx.org/docs/: paths with a WHEP source; WHEP is served on the port of `webrtcAddress`.
        ("mediamtx", "rtsp: no\nrtmp: no\nhls: no\nsrt: no\nwebrtcAddress: 127.0.0.1:18889\nwebrtcLocalUDPAddress: 127.0.0.1:18189\n"
         "paths:\n  noise:\n    source: whep://{host}/whep\n", "http://127.0.0.1:18889/", "noise/whep"),
        # https://go2rtc.org/internal/webrtc/: a `webrtc:http://` source is WHEP, and so is /api/webrtc?src=.
        ("go2rtc", "api: {{listen: \"127.0.0.1:18984\"}}\nrtsp: {{listen: \"\"}}\nwebrtc: {{listen: \"127.0.0.1:18555\", ice_servers: []}}\n"
         "streams:\n  noise: webrtc:http://{host}/whep\n", "http://127.0.0.1:18984/", "api/webrtc?src=noise"),
    ):
        binary = shutil.which(name)
        if not binary:
            say(f"bench: no {name} on the PATH: left out")
            continue
        for viewers in options.viewers:
            say(f"bench: {name}, {viewers} viewers")
            try:
                rows.append(other(options, work, viewers, name, binary, config, address, path))
            except (RuntimeError, OSError, KeyError, TypeError) as error:
                say(f"bench: {name} could not be measured with {viewers} viewers: {error}")
                break
    return rows


def other(options, work, viewers, name, binary, config, address, path):
    def ready(_):
        try:
            urllib.request.urlopen(address, timeout=1).close()
        except urllib.error.HTTPError:
            pass
        except OSError:
            return None
        return address

    with daemon(options.daemon, work, NOISE) as source:
        file = os.path.join(work, name + ".yml")
        with open(file, "w") as out:
            out.write(config.format(host=source.url.split("/")[2]))
        command = [binary, "-config", file] if name == "go2rtc" else [binary, file]
        with Server(command, work, ready) as server:
            time.sleep(WARM_UP)
            report = load(server, address + path, options, viewers, max(1, viewers / 100), options.seconds, metrics=False)
    return {
        "server": name,
        "viewers": viewers,
        "playing": report["playing"],
        "packets_per_s": report["measured"]["packets"] / report["conditions"]["measured_s"],
        "others_percent": report["others_percent"],
        "process_us": report["server"]["cpu_us_per_packet"],
        "rss_kb_per_viewer": report["server"]["memory_bytes_per_viewer"] / 1000,
        "lost": report["whole"]["lost"],
        "lost_load": report["dropped_here"],
        "first_keyframe_ms": report["since_post"]["first_keyframe"],
        "load": report,
    }


def median(values):
    """Of rows: each figure's own; of those that only some have, theirs."""
    values = [value for value in values if value is not None]
    if not values:
        return None
    first = values[0]
    if isinstance(first, dict):
        keys = {key: None for value in values for key in value}
        return {key: median([value.get(key) for value in values]) for key in keys}
    if isinstance(first, list):
        return [median(list(each)) for each in zip(*values)]
    numbers = [value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
    return statistics.median(numbers) if numbers else first


def table(head, rows):
    print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def show(value, digits=1):
    return "–" if value is None else f"{value:.{digits}f}"


def five(summary):
    return " / ".join(show(summary[key], 0 if summary["max"] >= 100 else 1) for key in ("min", "median", "p95", "p99", "max")) if summary else "–"


def pair(values):
    return " / ".join(show(value) for value in values)


def render(result):
    machine = result["machine"]
    print(f"{machine['date']}, {machine['cores']} × {machine['cpu']}, Linux {machine['kernel']}; viewers receive: {machine['receive']}\n")
    head = ["viewers", "playing", "packets/s", "media thread, µs a packet", "process¹", "floor", "process ÷ floor", "load", "RSS a viewer, MB"]
    table(head + ["lost", "by daemon / load", "frames skipped", "others"], [[
        show(row["viewers"], 0), show(row["playing"], 0), show(row["packets_per_s"], 0), show(row["media_us"], 2), show(row["process_us"], 2),
        show(row["floor_us"], 2), show(row["ratio"], 2), show(row["load_us"], 2), show(row["rss_kb_per_viewer"] / 1000, 3),
        show(row["lost"], 0), f"{show(row['lost_daemon'], 0)} / {show(row['lost_load'], 0)}", show(row["skipped"], 0),
        show(row["others_percent"], 0) + " %"] for row in result["rows"]])
    print("¹ without capture and encoding\n")
    head = ["viewers", "offer → first keyframe packet, ms: min / median / p95 / p99 / max", "capture → last packet², p50 / p99"]
    table(head + ["encoder → first viewer², p50 / p99", "→ last viewer²", "first to last viewer, median / p99", "capture → viewer, median / p99"], [[
        show(row["viewers"], 0), five(row["first_keyframe_ms"]), pair(row["latency_ms"]), pair(row["first_ms"]), pair(row["last_ms"]),
        *(pair([row[key]["median"], row[key]["p99"]]) if row[key] else "–" for key in ("spread_ms", "age_ms"))] for row in result["rows"]])
    print("² at most: the bounds of histogram buckets\n")
    if storm := result.get("storm"):
        print(f"{STORM} viewers within a second: {show(storm['playing'], 0)} play, the last after {storm['until_all_play_s']:.2f} s; "
              f"{show(storm['keyframes'], 0)} keyframes, {show(storm['keyframe_requests'], 0)} asked for; a join costs "
              f"{storm['cpu_ms_per_join']:.2f} ms of CPU\noffer → first keyframe packet, ms: {five(storm['first_keyframe_ms'])}\n")
    if result.get("others"):
        head = ["server", "viewers", "playing", "packets/s", "process, µs a packet", "RSS a viewer, MB", "lost / by load"]
        table(head + ["offer → first keyframe packet, ms", "others"], [[
            row["server"], show(row["viewers"], 0), show(row["playing"], 0), show(row["packets_per_s"], 0), show(row["process_us"], 2),
            show(row["rss_kb_per_viewer"] / 1000, 2), f"{row['lost']} / {row['lost_load']}", five(row["first_keyframe_ms"]),
            show(row["others_percent"], 0) + " %"] for row in result["others"]])


def cpu_model():
    with open("/proc/cpuinfo") as info:
        found = re.search(r"^model name\s*: (.*)$", info.read(), re.M)
    return found[1] if found else platform.machine()


def main():
    # Ended from outside, it ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = arguments()
    allow_sockets(max(options.viewers))
    if not options.no_build:
        build = ["cargo", "build", "--locked", "--release", "--bin", "fanlight", "--example", "load", "--example", "floor"]
        subprocess.run(build, cwd=ROOT, check=True, stdout=sys.stderr)
    date = time.strftime("%Y-%m-%d %H:%M")
    machine = {"date": date, "cores": os.cpu_count(), "cpu": cpu_model(), "kernel": platform.release(), "receive": options.receive}
    result = {"machine": machine, "rows": []}
    try:
        with tempfile.TemporaryDirectory(prefix="bench-fanout-") as work:
            for viewers in options.viewers:
                say(f"bench: {viewers} viewers, {options.repeat} × {options.seconds} s")
                result["rows"].append(median([fan_out(options, work, viewers) for _ in range(options.repeat)]))
            if not options.no_storm:
                say(f"bench: {STORM} viewers within a second")
                result["storm"] = median([storm(options, work) for _ in range(options.repeat)])
            result["others"] = others(options, work)
    finally:
        # What was measured before a fault is not lost with it.
        render(result)
        if options.json:
            with open(options.json, "w") as file:
                json.dump(result, file, indent=1)


if __name__ == "__main__":
    try:
        main()
    except (RuntimeError, OSError, subprocess.SubprocessError) as fault:
        sys.exit(f"bench: {fault}")
    except KeyboardInterrupt:
        sys.exit(130)
