import { Effect, type Scope } from "effect"
import { type AddressInfo, connect, createServer, type Socket } from "node:net"

/** An address in front of a server, which does to its answers what a test says. */
export interface Relay {
  readonly port: number
  /** Of the server behind; connections that there are stay where they are. */
  target: number
  /** Holds every answer back until `flow`. */
  readonly hold: () => void
  /** Drops the nth answer from now on, along with its connection. */
  readonly lose: (nth: number) => void
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
  let isHolding = false
  let untilLost = Infinity
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
      if (--untilLost === 0) socket.destroy()
      else if (isHolding) held.push(() => void socket.write(chunk))
      else socket.write(chunk)
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
    hold: () => void (isHolding = true),
    lose: (nth) => void (untilLost = nth),
    flow: () => {
      isHolding = false
      for (const pass of held.splice(0)) pass()
    },
    strand: () => answering.clear(),
    cut: () => {
      for (const socket of sockets) socket.destroy()
    }
  }
  return relay
})
