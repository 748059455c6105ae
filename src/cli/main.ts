#!/usr/bin/env node
// Nothing is imported before the check: the dependencies fail to load on an older Node.
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number)

if (major < 22 || (major === 22 && minor < 19)) {
  console.error(`effect-okta needs Node.js 22.19 or newer; this is ${process.versions.node}.`)
  process.exitCode = 2
} else {
  await import("./run.ts")
}
