/** What an attacker says of where a request comes from and goes to. */
export const forged = {
  forwarded: "host=evil.example;proto=http",
  "x-forwarded-host": "evil.example",
  "x-forwarded-proto": "http",
  "x-forwarded-port": "8080",
  "x-forwarded-uri": "/public",
  "x-forwarded-prefix": "/evil",
  "x-original-url": "/public",
  "x-rewrite-url": "/public",
  "x_forwarded_host": "evil.example"
}
