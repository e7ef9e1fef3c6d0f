//! llama.cpp's GGUF files → a directory in the Hugging Face layout.
