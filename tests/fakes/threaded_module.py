"""A module that starts a thread when imported, as some engines do."""

import threading

threading.Thread(target=threading.Event().wait, daemon=True).start()
