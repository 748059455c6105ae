import { Redacted, Result } from "effect"

/** Where Redis is, as its client wants to know it. */
export interface RedisAddress {
  readonly socket: { readonly host: string; readonly port: number; readonly tls?: true }
  readonly username?: string
  readonly password?: string
  readonly database?: number
}

const notRedis = "is not the URL of a Redis. Give one such as redis://127.0.0.1:6379, or rediss://… for one behind TLS"

const decoded = (text: string) => Result.try({ try: () => decodeURIComponent(text), catch: () => notRedis })

/**
 * Reads `redis://user:password@host:port/database`, or `rediss://` for TLS; or else tells what is wrong, without repeating
 * any of it.
 *
 * @see https://www.iana.org/assignments/uri-schemes/prov/redis
 */
export const parse = (url: Redacted.Redacted<string>): Result.Result<RedisAddress, string> =>
  Result.gen(function*() {
    const text = Redacted.value(url).trim()
    // Whatever `URL` throws has the text in it.
    const { hash, hostname, password, pathname, port, protocol, search, username } = yield* Result.try({
      try: () => new URL(text),
      catch: () => notRedis
    })
    const database = /^\/?(\d{0,4})$/.exec(pathname)?.[1]
    if (protocol !== "redis:" && protocol !== "rediss:" || hostname === "" || database === undefined) {
      return yield* Result.fail(notRedis)
    }
    if (search !== "" || hash !== "") {
      return yield* Result.fail("has a query or a fragment. Take away what follows the number of the database")
    }
    const user = yield* decoded(username)
    const secret = yield* decoded(password)
    return {
      socket: {
        host: hostname.replace(/^\[(.*)\]$/, "$1"),
        port: port === "" ? 6379 : Number(port),
        ...(protocol === "rediss:" ? { tls: true as const } : undefined)
      },
      ...(user === "" ? undefined : { username: user }),
      ...(secret === "" ? undefined : { password: secret }),
      ...(database === "" ? undefined : { database: Number(database) })
    }
  })
