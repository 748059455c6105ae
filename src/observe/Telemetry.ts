import { Metric } from "effect"

/** Key set fetches from Okta, by `outcome` (`success`, `failure`). */
export const keyFetches = Metric.counter("okta_key_set_fetches", {
  description: "Fetches of Okta's key set",
  incremental: true
})

/** Age in seconds of the key set in use. */
export const keySetAge = Metric.gauge("okta_key_set_age_seconds", {
  description: "Age of the key set in use"
})
