import { Effect, type Scope } from "effect"
import { connect, createServer, type Socket } from "node:net"
import { listening } from "./Listening.ts"

/** An address in front of a server, which does to its answers what a test says. */
export interface Relay {
  readonly port: number
  /** Of the server behind; connections that there are stay where they are. */
  target: number
  /** Run with every piece of an answer, before that goes anywhere. */
  onAnswer: () => void
  /** Holds every answer back until `flow`. */
  readonly hold: () => void
  /** What is held back, by connection. */
  readonly held: () => ReadonlyArray<string>
  /** Passes on what was held back, and everything from then on. */
  readonly flow: () => void
  /** Drops the nth piece of an answer from now on, along with its connection; only those that say something are counted. */
  readonly lose: (nth: number, saying?: string) => void
  /** Leaves the connections that there are without any answer for good, though open. */
  readonly strand: () => void
}

/** Relays TCP connections on 127.0.0.1 until the scope closes. */
export const make = Effect.fnUntraced(function*(target = 0): Effect.fn.Return<Relay, never, Scope.Scope> {
  const sockets = new Set<Socket>()
  const answering = new Set<Socket>()
  const held = new Map<Socket, Array<Buffer>>()
  let isHolding = false
  let untilLost = Infinity
  let toBeLost = ""
  const server = createServer((socket) => {
    const onward = connect(relay.target, "127.0.0.1")
    for (const [one, other] of [[socket, onward], [onward, socket]] as const) {
      sockets.add(one)
      one.on("error", () => other.destroy()).on("close", () => {
        sockets.delete(one)
        other.destroy()
      })
    }
    socket.pipe(onward)
    answering.add(onward)
    onward.on("data", (chunk: Buffer) => {
      if (!answering.has(onward)) return
      if (isHolding) held.set(socket, [...held.get(socket) ?? [], chunk])
      relay.onAnswer()
      if (chunk.includes(toBeLost) && --untilLost === 0) socket.destroy()
      else if (!isHolding) socket.write(chunk)
    })
  })
  const port = yield* Effect.acquireRelease(
    listening(server),
    () => Effect.sync(() => sockets.forEach((socket) => socket.destroy()))
  )
  const relay: Relay = {
    port,
    target,
    onAnswer: () => {},
    hold: () => void (isHolding = true),
    held: () => [...held.values()].map((chunks) => Buffer.concat(chunks).toString("latin1")),
    flow: () => {
      isHolding = false
      for (const [socket, chunks] of held) {
        if (!socket.destroyed) { for (const chunk of chunks) socket.write(chunk) }
      }
      held.clear()
    },
    lose: (nth, saying = "") => {
      untilLost = nth
      toBeLost = saying
    },
    strand: () => answering.clear()
  }
  return relay
})
