"""Inference engines as clients: each door is thin, what they share stands here.

`holdfast.engines.vllm` (KV connector), `holdfast.engines.vllm_tier` (secondary tier of vLLM's own
offloading), `holdfast.engines.lmcache` (level-two plugin) and `holdfast.engines.sglang` (HiCache
storage). An engine's own modules are imported by its door only.
"""
