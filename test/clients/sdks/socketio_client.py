# Subscribes with python-socketio, publishes from a second connection, and prints the message.
# Arguments: URL of the server, access token.
import json
import sys
import threading

import socketio

url, token = sys.argv[1:]
auth = {"token": f"Bearer {token}"}
reader, writer = socketio.Client(), socketio.Client()
subscribed, received = threading.Event(), threading.Event()
messages = []
reader.on("ack", lambda ack: subscribed.set())


@reader.on("message")
def on_message(message):
    messages.append(message)
    received.set()


reader.connect(url, auth=auth)
writer.connect(url, auth=auth)
reader.emit("subscribe", {"topic": "public:news", "messageId": "m1", "timestamp": 1})
assert subscribed.wait(10), "no ack"
payload = {"hello": "python"}
writer.emit("publish", {"topic": "public:news", "payload": payload, "messageId": "m2"})
assert received.wait(10), "no message"
transport = reader.transport()
reader.disconnect()
writer.disconnect()
print(json.dumps({"transport": transport, "message": messages[0]}))
