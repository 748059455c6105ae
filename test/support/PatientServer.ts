import { createServer } from "node:http"

/**
 * A server that keeps idle connections for as long as any test lasts. Node ends them after 5 seconds, by which a busy test would send its
 * next request into one that is just being closed.
 */
export const patientServer = () => createServer({ keepAliveTimeout: 600_000 })
