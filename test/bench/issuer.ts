import { createSign, generateKeyPairSync, type KeyObject, randomUUID, sign } from "node:crypto"
import { createServer } from "node:http"

export type SigningAlgorithm = "RS256" | "ES256"

export const audience = "api://bench"
export const algorithms: ReadonlyArray<SigningAlgorithm> = ["RS256", "ES256"]

/** An authorization server shaped like one of Okta's, on loopback, with a key for each algorithm. */
export interface Issuer {
  readonly url: string
  readonly jwks: { readonly keys: ReadonlyArray<Record<string, string>> }
  readonly publicKey: (algorithm: SigningAlgorithm) => KeyObject
  /** Distinct access tokens with the claims of Okta's, good for an hour, as bytes; bound to the key of a thumbprint, if to any. */
  readonly tokens: (algorithm: SigningAlgorithm, count: number, boundTo?: string) => ReadonlyArray<Buffer>
  readonly close: () => Promise<void>
}

export const startIssuer = async (): Promise<Issuer> => {
  const pairs = {
    RS256: generateKeyPairSync("rsa", { modulusLength: 2048 }),
    ES256: generateKeyPairSync("ec", { namedCurve: "P-256" })
  }
  const jwks = {
    keys: algorithms.map((alg) => ({
      ...(pairs[alg].publicKey.export({ format: "jwk" }) as Record<string, string>),
      kid: `bench-${alg}`,
      use: "sig",
      alg
    }))
  }
  const server = createServer((request, response) => {
    response.setHeader("content-type", "application/json")
    response.setHeader("cache-control", "max-age=3600")
    if (request.url === "/oauth2/default/v1/keys") response.end(JSON.stringify(jwks))
    else if (request.url === "/oauth2/default/v1/introspect") {
      request.resume().on("end", () => response.end(JSON.stringify({ active: true })))
    } else if (request.url === "/oauth2/default/v1/token") {
      const answer = { access_token: randomUUID(), token_type: "Bearer", expires_in: 3600, scope: "files:read" }
      request.resume().on("end", () => response.end(JSON.stringify(answer)))
    } else if (request.url?.includes("/.well-known/")) {
      response.end(JSON.stringify({
        issuer: url,
        jwks_uri: `${url}/v1/keys`,
        authorization_endpoint: `${url}/v1/authorize`,
        introspection_endpoint: `${url}/v1/introspect`,
        token_endpoint: `${url}/v1/token`
      }))
    } else response.writeHead(404).end("{}")
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  if (address === null || typeof address === "string") throw new Error("The issuer does not listen on TCP.")
  const url = `http://127.0.0.1:${address.port}/oauth2/default`

  const token = (alg: SigningAlgorithm, boundTo: string | undefined): Buffer => {
    const now = Math.floor(Date.now() / 1000)
    const header = { kid: `bench-${alg}`, alg }
    const payload = {
      ver: 1,
      jti: `AT.${randomUUID()}`,
      iss: url,
      aud: audience,
      iat: now,
      exp: now + 3600,
      cid: "0oa4f6b2kqXJ8sZ9V5d7",
      uid: "00u4f6b2lmQ3kC8wB5d7",
      scp: ["openid", "profile", "files:read"],
      auth_time: now - 60,
      sub: "ada.lovelace@example.com",
      groups: ["Everyone", "Engineering"],
      ...(boundTo === undefined ? undefined : { cnf: { jkt: boundTo } })
    }
    const input = `${encode(header)}.${encode(payload)}`
    const { privateKey } = pairs[alg]
    const signature = alg === "RS256"
      ? createSign("sha256").update(input).sign(privateKey)
      : sign("sha256", Buffer.from(input), { key: privateKey, dsaEncoding: "ieee-p1363" })
    return Buffer.from(`${input}.${signature.toString("base64url")}`, "latin1")
  }

  return {
    url,
    jwks,
    publicKey: (algorithm) => pairs[algorithm].publicKey,
    tokens: (algorithm, count, boundTo) => Array.from({ length: count }, () => token(algorithm, boundTo)),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      })
  }
}

const encode = (json: object): string => Buffer.from(JSON.stringify(json)).toString("base64url")

/**
 * The token as a server gets it from a socket: a string of its own each time, so that no engine can recognize it by
 * identity or by a hash computed before.
 */
export const received = (token: Buffer): string => token.toString("latin1")
