import { Context, Effect, Exit, Layer, Redacted, Scope } from "effect"
import { FetchHttpClient } from "effect/http"
import { CurrentPrincipal, OktaAuth, TokenExchange, TokenVerifier } from "../../dist/index.js"
import { audience, type Issuer, received } from "./issuer.ts"
import { median } from "./measure.ts"

/** What a capability that asks Okta costs a token, in microseconds. */
export interface Asked {
  readonly name: string
  /** For a token of which nothing is known: Okta is asked. */
  readonly first: number
  /** For one of which everything is known. */
  readonly again: number
}

const credentials = { clientId: "bench", clientSecret: Redacted.make("bench") }
const callers = 32

/** Microseconds for each token, each handled by the next caller that is free. */
const time = async <E>(tokens: ReadonlyArray<Buffer>, handle: (token: string) => Effect.Effect<unknown, E>) => {
  let next = 0
  const caller = Effect.gen(function*() {
    while (next < tokens.length) yield* handle(received(tokens[next++]!))
  })
  const start = performance.now()
  await Effect.runPromise(
    Effect.all(Array.from({ length: callers }, () => caller), { concurrency: "unbounded", discard: true })
  )
  return (performance.now() - start) * 1000 / tokens.length
}

/** Verification alone, with introspection, and with an exchange on top, by turns. */
export const measureOkta = async (issuer: Issuer, rounds: number): Promise<ReadonlyArray<Asked>> => {
  const tokens = issuer.tokens("RS256", 1000)
  const kinds = ["verified", "verified, and Okta asked (introspection)", "verified, and exchanged for another API"]
  const times = kinds.map((name) => ({ name, first: new Array<number>(), again: new Array<number>() }))
  const run = async (i: number) => {
    const scope = Scope.makeUnsafe()
    const okta = OktaAuth.layer({
      issuer: issuer.url,
      audience,
      serverUrl: "http://localhost:3000",
      failFast: true,
      ...(i === 1 ? { introspection: { mode: "recheck" as const, ...credentials } } : undefined)
    })
    const context = await Effect.runPromise(Layer.buildWithScope(
      TokenExchange.layer(credentials).pipe(Layer.provideMerge(okta), Layer.provide(FetchHttpClient.layer)),
      scope
    ))
    const { verify } = Context.get(context, TokenVerifier)
    const { get } = Context.get(context, TokenExchange)
    const wanted = { audience: "api://billing", scopes: "files:read" }
    const handle = (token: string) => {
      const verified = verify(Redacted.make(token))
      return i < 2 ?
        verified :
        Effect.flatMap(verified, ({ principal }) => Effect.provideService(get(wanted), CurrentPrincipal, principal))
    }
    const first = await time(tokens, handle)
    await time(tokens, handle)
    const again = await time(tokens, handle)
    await Effect.runPromise(Scope.close(scope, Exit.void))
    return { first, again }
  }
  for (let round = -1; round < rounds; round++) {
    for (const [i, kind] of times.entries()) {
      // Where the machine was too busy to answer within 3 seconds, there is nothing to measure: once more.
      const { again, first } = await run(i).catch(() => run(i))
      if (round >= 0) {
        kind.first.push(first)
        kind.again.push(again)
      }
    }
  }
  return times.map(({ again, first, name }) => ({ name, first: median(first), again: median(again) }))
}
