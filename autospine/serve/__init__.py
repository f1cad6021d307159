"""A resident model behind HTTP: uploads of strangers in, segmentations out.

    receiving --own names, limits--> uploads --unpacked, limits--> images --one after the other--> answer

Only `app` and `server` know FastAPI and uvicorn; they are an extra, and are imported where a server is started.
"""
