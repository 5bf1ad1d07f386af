"""Search speed against other engines: `python -m benchmarks.search [BEIR directories]`.

data      text -> token matrices, encoded once and cached
worker    one engine in one process, told what to do over a pipe; client is its other end
ours, brute, peers   the engines
measure   build, answers, interleaved latency, memory
scale     many threads, narrow filters, many windows
report    Markdown and the plot
"""
