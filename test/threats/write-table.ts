/** Writes the table of attacks and faults into `docs/security.md`: `npm run docs:attacks`. */
import { readFileSync, writeFileSync } from "node:fs"
import { page, withTable } from "./AttackTable.ts"

writeFileSync(page, withTable(readFileSync(page, "utf8")))
