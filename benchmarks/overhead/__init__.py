"""What Respo costs while pictures are sampled: the parts of `benchmarks.inference_overhead`."""
