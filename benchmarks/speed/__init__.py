"""`python -m benchmarks.train_speed`: what one optimizer step costs, the released RespoDiff loop's and ours."""
