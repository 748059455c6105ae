export { type Defect, OktaTest, type OktaTestOptions, type Outage, type TokenOptions } from "./OktaTest.ts"
