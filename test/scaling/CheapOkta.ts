// An Okta that costs as little as one can, in a process of its own: it signs an ID token for whatever code it is given, with
// the code as its nonce, and checks nothing.
import { generateKeyPairSync, randomUUID, sign } from "node:crypto"
import { once } from "node:events"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"

const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 })
const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url")
const header = encode({ alg: "RS256", kid: "k" })

const jwt = (claims: object) => {
  const signed = `${header}.${encode(claims)}`
  return `${signed}.${sign("sha256", Buffer.from(signed), privateKey).toString("base64url")}`
}

const server = createServer((request, response) => {
  const answer = (body: object) =>
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(body))
  if (request.url?.includes(".well-known")) {
    return void answer({
      issuer,
      authorization_endpoint: `${issuer}/authorize`,
      token_endpoint: `${issuer}/token`,
      jwks_uri: `${issuer}/keys`,
      response_types_supported: ["code"],
      subject_types_supported: ["public"],
      id_token_signing_alg_values_supported: ["RS256"]
    })
  }
  if (request.url === "/keys") {
    return void answer({ keys: [{ ...publicKey.export({ format: "jwk" }), kid: "k", use: "sig", alg: "RS256" }] })
  }
  const chunks: Array<Buffer> = []
  request.on("data", (chunk: Buffer) => chunks.push(chunk))
  request.on("end", () => {
    const form = new URLSearchParams(Buffer.concat(chunks).toString("utf8"))
    const now = Math.floor(Date.now() / 1000)
    // Everybody who signs in is somebody else.
    const sub = randomUUID()
    const claims = { iss: issuer, sub, aud: process.argv[2], iat: now, exp: now + 3600, auth_time: now }
    const person = { email: `${sub}@example.com`, name: "Ada Lovelace", preferred_username: `${sub}@example.com` }
    answer({
      token_type: "Bearer",
      expires_in: 3600,
      scope: "openid profile email offline_access",
      access_token: "a".repeat(800),
      refresh_token: "r".repeat(43),
      id_token: jwt({ ...claims, ...person, nonce: form.get("code") })
    })
  })
}).listen(0, "127.0.0.1")
await once(server, "listening")
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it listens on TCP
const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
process.send?.(issuer)
process.once("disconnect", () => process.exit())
