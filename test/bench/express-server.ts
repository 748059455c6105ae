import express from "express"
import { auth, claimCheck } from "express-oauth2-jwt-bearer"
import { once } from "node:events"
import { createServer } from "node:http"
import { audience } from "./issuer.ts"
import { serve } from "./server.ts"

const hello: express.RequestHandler = (_, response) => {
  response.json({ hello: "world" })
}

await serve(async (issuer) => {
  const app = express()
  app.get("/open", hello)
  app.get(
    "/guarded",
    auth({ issuer, audience, jwksUri: `${issuer}/v1/keys`, tokenSigningAlg: "RS256" }),
    // Okta's scopes are in the array "scp", which its requiredScopes does not know.
    claimCheck(({ scp }) => Array.isArray(scp) && scp.includes("files:read")),
    hello
  )
  const server = createServer(app)
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  return server
})
