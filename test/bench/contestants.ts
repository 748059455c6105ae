import OktaJwtVerifier from "@okta/jwt-verifier"
import { JwtVerifier } from "aws-jwt-verify"
import { Context, Effect, Exit, Layer, Redacted, Scope } from "effect"
import { FetchHttpClient } from "effect/http"
import { createVerifier } from "fast-jwt"
import { createLocalJWKSet, jwtVerify } from "jose"
import { type KeyObject, verify } from "node:crypto"
import { OktaAuth, TokenVerifier } from "../../dist/index.js"
import { algorithms, audience, type Issuer, received, type SigningAlgorithm } from "./issuer.ts"

/** Verifies all the tokens once, each by the next caller that is free; rejects when one is not accepted. */
export type Run = (tokens: ReadonlyArray<Buffer>, callers: number) => Promise<void>

export interface Contestant {
  readonly name: string
  readonly algorithms: ReadonlyArray<SigningAlgorithm>
  /** Made anew for every round, so that nothing is remembered from the one before. */
  readonly make: (issuer: Issuer, algorithm: SigningAlgorithm) => Promise<{
    readonly run: Run
    /** Done before the clock starts. */
    readonly prepare?: (tokens: ReadonlyArray<Buffer>) => void
    readonly close?: () => Promise<void>
  }>
}

const synchronous = (verify: (token: string) => unknown): { readonly run: Run } => ({
  run: async (tokens) => {
    for (const token of tokens) verify(received(token))
  }
})

const asynchronous = (verify: (token: string) => Promise<unknown>): { readonly run: Run } => ({
  run: async (tokens, callers) => {
    let next = 0
    const caller = async () => {
      while (next < tokens.length) await verify(received(tokens[next++]!))
    }
    await Promise.all(Array.from({ length: callers }, caller))
  }
})

const effectOkta: Contestant = {
  name: "effect-okta",
  algorithms,
  make: async (issuer, algorithm) => {
    const layer = OktaAuth.layer({
      issuer: issuer.url,
      audience,
      serverUrl: "http://localhost:3000",
      algorithms: algorithm,
      failFast: true
    }).pipe(Layer.provide(FetchHttpClient.layer))
    const scope = Scope.makeUnsafe()
    const context = await Effect.runPromise(Layer.buildWithScope(layer, scope))
    const verifier = Context.get(context, TokenVerifier)
    return {
      run: (tokens, callers) => {
        let next = 0
        const caller = Effect.gen(function*() {
          while (next < tokens.length) yield* verifier.verify(Redacted.make(received(tokens[next++]!)))
        })
        return Effect.runPromise(
          callers === 1
            ? caller
            : Effect.all(Array.from({ length: callers }, () => caller), { concurrency: "unbounded", discard: true })
        )
      },
      close: () => Effect.runPromise(Scope.close(scope, Exit.void))
    }
  }
}

const fastJwt = (
  name: string,
  options: { readonly cache?: number; readonly cacheKeyBuilder?: (token: string) => string }
): Contestant => ({
  name,
  algorithms,
  make: async (issuer, algorithm) => {
    const key = issuer.publicKey(algorithm).export({ type: "spki", format: "pem" }).toString()
    return synchronous(
      createVerifier({ key, algorithms: [algorithm], allowedIss: issuer.url, allowedAud: audience, ...options })
    )
  }
})

const jose: Contestant = {
  name: "jose",
  algorithms,
  make: async (issuer, algorithm) => {
    const keys = createLocalJWKSet({ keys: issuer.jwks.keys.map((key) => ({ ...key, kty: key["kty"]! })) })
    const options = { issuer: issuer.url, audience, algorithms: [algorithm] }
    return asynchronous((token) => jwtVerify(token, keys, options))
  }
}

const awsJwtVerify: Contestant = {
  name: "aws-jwt-verify",
  algorithms,
  make: async (issuer) => {
    const verifier = JwtVerifier.create({ issuer: issuer.url, audience, jwksUri: "https://unused.invalid/keys" })
    verifier.cacheJwks({ keys: issuer.jwks.keys.map((key) => ({ ...key, kty: key["kty"]! })) })
    return synchronous((token) => verifier.verifySync(token))
  }
}

/** It warns that loopback is no https, each time. */
const withoutWarning = <A>(make: () => A): A => {
  const { warn } = console
  console.warn = () => {}
  const made = make()
  console.warn = warn
  return made
}

const oktaJwtVerifier: Contestant = {
  name: "@okta/jwt-verifier",
  algorithms: ["RS256"],
  make: async (issuer) => {
    const verifier = withoutWarning(() =>
      new OktaJwtVerifier({ issuer: issuer.url, testing: { disableHttpsCheck: true } })
    )
    return asynchronous((token) => verifier.verifyAccessToken(token, audience))
  }
}

export const verifiers: ReadonlyArray<Contestant> = [
  effectOkta,
  jose,
  fastJwt("fast-jwt", {}),
  fastJwt("fast-jwt, cache", { cache: 10_000 }),
  fastJwt("fast-jwt, cache keyed by the bare token", { cache: 10_000, cacheKeyBuilder: (token) => token }),
  awsJwtVerify,
  oktaJwtVerifier
]

/** The least that must be done with a token as it is received: cut off the signature and decode it. */
const cut = (token: string) => {
  const dot = token.lastIndexOf(".")
  return {
    input: Buffer.from(token.slice(0, dot), "latin1"),
    signature: Buffer.from(token.slice(dot + 1), "base64url")
  }
}

const nativeKey = (key: KeyObject) =>
  key.asymmetricKeyType === "rsa" ? key : { key, dsaEncoding: "ieee-p1363" as const }

/**
 * The signature alone and nothing else looked at, as a limit: on one thread or on Node's thread pool, from the token as
 * it is received or from bytes that lie ready.
 */
const bare = (name: string, { pooled, ready }: { readonly pooled: boolean; readonly ready: boolean }): Contestant => ({
  name,
  algorithms,
  make: async (issuer, algorithm) => {
    const key = nativeKey(issuer.publicKey(algorithm))
    const prepared = new Map<Buffer, ReturnType<typeof cut>>()
    const partsOf = (token: Buffer) => ready ? prepared.get(token)! : cut(received(token))
    const inline: Run = async (tokens) => {
      for (const token of tokens) {
        const { input, signature } = partsOf(token)
        if (!verify("sha256", input, key, signature)) throw new Error("The signature is not accepted.")
      }
    }
    const onPool: Run = (tokens, callers) =>
      new Promise((resolve, reject) => {
        let next = 0
        let answered = 0
        const ask = () => {
          if (next === tokens.length) return
          const { input, signature } = partsOf(tokens[next++]!)
          verify("sha256", input, key, signature, (error, valid) => {
            if (error !== null || !valid) return reject(error ?? new Error("The signature is not accepted."))
            if (++answered === tokens.length) resolve()
            else ask()
          })
        }
        for (let caller = 0; caller < callers; caller++) ask()
      })
    return {
      prepare: (tokens) => {
        if (ready) tokens.forEach((token) => prepared.set(token, cut(received(token))))
      },
      run: pooled ? onPool : inline
    }
  }
})

export const limits: ReadonlyArray<Contestant> = [
  bare("crypto.verify, inline", { pooled: false, ready: false }),
  bare("crypto.verify, inline, bytes ready", { pooled: false, ready: true }),
  bare("crypto.verify, thread pool", { pooled: true, ready: false }),
  bare("crypto.verify, thread pool, bytes ready", { pooled: true, ready: true })
]
