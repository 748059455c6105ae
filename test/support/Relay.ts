import { Effect, type Scope } from "effect"
import { type AddressInfo, connect, createServer, type Socket } from "node:net"

/** An address in front of a server, which does to its answers what a test says. */
export interface Relay {
  readonly port: number
  /** Of the server behind; connections that there are stay where they are. */
  target: number
  /** What becomes of each answer: passed on (by default), held back until `flow`, or lost along with its connection. */
  answers: "flow" | "hold" | "lose"
  /** Run whenever an answer was held back or lost. */
  onKept: () => void
  /** Passes on what was held back, and everything from then on. */
  readonly flow: () => void
  /** Drops every connection. */
  readonly cut: () => void
  /** Leaves the connections that there are without any answer for good, though open. */
  readonly strand: () => void
}

/** Relays TCP connections on 127.0.0.1 until the scope closes. */
export const make = Effect.fnUntraced(function*(target: number): Effect.fn.Return<Relay, never, Scope.Scope> {
  const sockets = new Set<Socket>()
  const answering = new Set<Socket>()
  const held: Array<() => void> = []
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
      if (relay.answers === "flow") return void socket.write(chunk)
      if (relay.answers === "lose") socket.destroy()
      else held.push(() => void socket.write(chunk))
      relay.onKept()
    })
  })
  yield* Effect.acquireRelease(
    Effect.callback<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void))),
    () =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        for (const socket of sockets) socket.destroy()
      })
  )
  const relay: Relay = {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it listens on TCP
    port: (server.address() as AddressInfo).port,
    target,
    answers: "flow",
    onKept: () => {},
    flow: () => {
      relay.answers = "flow"
      for (const pass of held.splice(0)) pass()
    },
    strand: () => answering.clear(),
    cut: () => {
      for (const socket of sockets) socket.destroy()
    }
  }
  return relay
})
