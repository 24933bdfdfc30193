"""The main job on one machine, with real processes and every answer checked.

command     `cachctl demo`: options and the table at the end
story       what happens, in order
fleet       authority, nodes and workers as processes
load        one lane per worker: requests, checks, latencies
protocol    the few bytes between a lane and a worker
worker      an inference process
tiny_model  a small but honest model, made from a seed
forward     forward passes over mapped safetensors: the tiny model, BERT, anything else
bert        the BERT encoder in numpy
tensors     safetensors as numpy views, without a copy
"""
