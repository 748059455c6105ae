import { once } from "node:events"
import type { Server } from "node:http"

/** What a server's process tells the one that measures it. */
export type Report = { readonly port: number } | { readonly cpu: number }

/**
 * Runs a server in a process of its own. Its issuer is the first argument; asked with a message, it says how many
 * microseconds of processor time it has used, on all its threads.
 */
export const serve = async (start: (issuer: string) => Promise<Server>): Promise<void> => {
  const issuer = process.argv[2]
  if (issuer === undefined) throw new Error("Give the issuer as an argument.")
  const server = await start(issuer)
  if (!server.listening) await once(server, "listening")
  const address = server.address()
  if (address === null || typeof address === "string") throw new Error("The server does not listen on TCP.")
  process.on("message", () => {
    const { system, user } = process.cpuUsage()
    report({ cpu: user + system })
  })
  process.on("disconnect", () => process.exit())
  report({ port: address.port })
}

const report = (message: Report) => process.send?.(message)
