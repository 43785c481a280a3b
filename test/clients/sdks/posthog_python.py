# Sends events with posthog-python, as an application does.
# Arguments: URL of the server, token, number of events.
import json
import logging
import sys

from posthog import Posthog

host, token, count = sys.argv[1:]
logging.basicConfig(level=logging.WARNING)
errors = []
posthog = Posthog(
    token,
    host=host,
    personal_api_key="phx_own",
    on_error=lambda error, batch: errors.append(str(error)),
)
for index in range(int(count)):
    properties = {"index": index, "name": "Ada 🚀", "$set": {"plan": "scale"}}
    posthog.capture(event="ordered", distinct_id=f"user-{index}", properties=properties)
posthog.group_identify("company", "id:5", {"size": 11})
posthog.load_feature_flags()
flag = posthog.get_feature_flag("some-flag", "user-1")
posthog.shutdown()
print(json.dumps({"errors": errors, "flag": flag}))
