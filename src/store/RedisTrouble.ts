import { Predicate } from "effect"

/**
 * What the first word of an error of Redis's, or the code of the connection's, asks of whoever runs the server
 * (https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors).
 */
const mends: Readonly<Record<string, string>> = {
  OOM: "it has no memory left: raise its maxmemory, and leave maxmemory-policy at noeviction",
  READONLY: "it is a replica, which cannot be written to: give the address of the primary",
  LOADING: "it is still loading its data: wait until that is done",
  MASTERDOWN: "it is a replica that has lost its primary: give the address of the primary",
  MISCONF: "it cannot save to its disk, and so takes no writes: make room there, or see its log",
  NOREPLICAS:
    "too few of its replicas are there for it to take writes: bring them back, or lower min-replicas-to-write",
  NOAUTH: "it wants a password: put one into the URL",
  WRONGPASS: "it does not take the user name or the password in the URL",
  NOPERM:
    "the user in the URL may not do that: allow GET, SET, GETDEL, DEL, PTTL, EVALSHA, SCRIPT LOAD and PING on the keys of the prefix",
  BUSY: "a script keeps it from all other work: wait, or end that with SCRIPT KILL",
  MOVED:
    "it is a node of a cluster that has these keys elsewhere: give a Redis service that speaks to the whole cluster",
  CLUSTERDOWN: "its cluster has lost a part of the keys: mend the cluster",
  TRYAGAIN: "its cluster is moving keys: try again",
  NOPROTO: "it is older than 6.2: use a newer one",
  ECONNREFUSED: "nothing listens there: start it, or give another address",
  ECONNRESET: "it closed the connection",
  ENOTFOUND: "there is no such host: correct the address",
  EAI_AGAIN: "the name server does not answer: try again",
  ETIMEDOUT: "it cannot be reached: correct the address, or let this process through the firewall",
  EHOSTUNREACH: "it cannot be reached: correct the address, or let this process through the firewall"
}

const answers: ReadonlyArray<readonly [pattern: RegExp, reason: string]> = [
  [/^ERR unknown command/i, "it does not know a command that is needed: use Redis 6.2 or newer"],
  [/^ERR max number of clients/i, "it has as many connections as it may: raise its maxclients"],
  [/^ERR AUTH .*without any password configured/i, "it has no password, but the URL does: take it out of the URL"],
  [/^ERR (?:invalid DB|DB index)/i, "it does not have the database that the URL names: give another number"]
]

/** Redis gave no answer in the time that a command may take. */
export class Silence extends Error {}

/** What the Redis client says by the name of its error only. */
const connection: Readonly<Record<string, string>> = {
  Silence: "it did not answer within 500 ms; what it was asked to do may have been done",
  ConnectionTimeoutError: "it cannot be reached: correct the address, or let this process through the firewall",
  ClientOfflineError: "it is not connected",
  SocketClosedUnexpectedlyError: "it closed the connection before it answered",
  SocketTimeoutError: "it stopped answering",
  DisconnectsClientError: "the connection was given up before it answered",
  TimeoutError: "it does not take any more commands at the moment"
}

const certificate = /^(?:CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|ERR_TLS_|ERR_SSL_|EPROTO)/

const codeOf = (error: Error) =>
  Predicate.hasProperty(error, "code") && Predicate.isString(error.code) ? error.code : ""

/** The word with which Redis begins an error. */
export const wordOf = (cause: unknown): string | undefined =>
  Predicate.isError(cause) ? /^[A-Z]{2,}(?=\s|$)/.exec(cause.message)?.[0] : undefined

/**
 * What is wrong with Redis, and how to mend it, in words of ours: its own may repeat keys and values.
 */
export const reasonOf = (error: unknown): string => {
  if (!Predicate.isError(error)) return "Redis failed"
  const code = codeOf(error)
  const word = wordOf(error)
  const known = mends[word ?? ""] ?? mends[code]
  if (known !== undefined) return `Redis: ${known} (${mends[word ?? ""] === undefined ? code : word})`
  if (certificate.test(code)) return `Redis: its TLS certificate or protocol is not acceptable (${code})`
  const answer = answers.find(([pattern]) => pattern.test(error.message))?.[1] ?? connection[error.constructor.name]
  return answer === undefined ? `Redis failed (${code || word || error.constructor.name})` : `Redis: ${answer}`
}
