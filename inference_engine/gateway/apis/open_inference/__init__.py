"""The Open Inference Protocol's requests and responses, and their tensors: rules without a server.

Sources: KServe, "Open Inference Protocol", HTTP/REST; Triton, "Binary tensor data extension", "Schedule policy extension",
"Parameters extension", "Model repository extension".
"""
