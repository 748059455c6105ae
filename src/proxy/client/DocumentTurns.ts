import { Clock, Duration, Effect, Semaphore } from "effect"
import { type DocumentRefused, DocumentUnavailable } from "./DocumentFetch.ts"

/** Runs what fetches a document, when it is its turn. */
export type DocumentTurns = <A>(
  url: string,
  fetch: Effect.Effect<A, DocumentRefused | DocumentUnavailable>
) => Effect.Effect<A, DocumentRefused | DocumentUnavailable>

/** How many documents are fetched at one time, and how many of them from one host, whoever asks for them. */
const atOnce = 16
const fromOneHost = 4

/** How long whoever wants a document waits for it, the time before its turn included. */
const patience = Duration.seconds(10)

/** Whoever has waited for longer than this, in milliseconds, has given the server less than its time. */
const hurry = 1000

/** Those who fetch from a host, or wait to. */
interface Host {
  readonly turns: Semaphore.Semaphore
  count: number
}

/** Keeps one host that is slow, or whoever names many, from using up all that can be fetched. */
export const make: Effect.Effect<DocumentTurns> = Effect.gen(function*() {
  const clock = yield* Clock.Clock
  const now = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
  const all = yield* Semaphore.make(atOnce)
  const hosts = new Map<string, Host>()

  const enter = (name: string) =>
    Effect.sync(() => {
      const host = hosts.get(name) ?? { turns: Semaphore.makeUnsafe(fromOneHost), count: 0 }
      hosts.set(name, host)
      host.count++
      return host
    })
  const leave = (name: string, host: Host) =>
    Effect.sync(() => {
      if (--host.count === 0) hosts.delete(name)
    })

  return (url, fetch) =>
    Effect.suspend(() => {
      const name = new URL(url).host
      const askedAt = now()
      let begunAt = Infinity
      const whenBegun = Effect.suspend(() => {
        begunAt = now()
        return fetch
      })
      return Effect.acquireUseRelease(
        enter(name),
        // Whoever waits for a host is in nobody else's way.
        ({ turns }) => turns.withPermit(all.withPermit(whenBegun)),
        (host) => leave(name, host)
      ).pipe(
        Effect.timeoutOrElse({
          duration: patience,
          orElse: () =>
            Effect.fail(
              new DocumentUnavailable({
                url,
                reason: `there was no answer within ${Duration.toSeconds(patience)} seconds`,
                hurried: begunAt - askedAt > hurry
              })
            )
        })
      )
    })
})
