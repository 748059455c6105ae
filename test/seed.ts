import * as fc from "fast-check"

fc.configureGlobal({ seed: Number(process.env["FAST_CHECK_SEED"]) })
