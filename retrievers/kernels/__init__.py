"""Native kernels: MaxSim and centroid scans, generated as LLVM IR for each kind of processor."""
