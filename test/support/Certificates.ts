import { Effect } from "effect"
import { readFileSync } from "node:fs"
import { getCACertificates, setDefaultCACertificates } from "node:tls"

/** A file of `certificates/`. */
export const pem = (name: string) => readFileSync(new URL(`certificates/${name}.pem`, import.meta.url), "utf8")

/** What a server of https needs: `authority` signed `good`, `expired` and `wrong-host`; all belong to the one key. */
export const tls = (certificate: string) => ({ key: pem("key"), cert: pem(certificate) })

/** Without it, every certificate would be refused for its signer; ends with the scope. */
export const trustTestAuthority = Effect.acquireRelease(
  Effect.sync(() => {
    const before = getCACertificates("default")
    setDefaultCACertificates([...before, pem("authority")])
    return before
  }),
  (before) => Effect.sync(() => setDefaultCACertificates(before))
)
