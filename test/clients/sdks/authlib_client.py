# Gets a token with Authlib. Arguments: URL of the server, client id, secret, way of authentication.
import json
import sys

from authlib.integrations.requests_client import OAuth2Session

url, client_id, secret, way = sys.argv[1:]
session = OAuth2Session(client_id, secret, token_endpoint_auth_method=f"client_secret_{way}")
token = session.fetch_token(f"{url}/api/auth/token", grant_type="client_credentials")
verified = session.get(f"{url}/api/auth/verify")
print(json.dumps({"token_type": token["token_type"], "scope": token["scope"], "verified": verified.status_code}))
