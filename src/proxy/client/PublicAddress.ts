import { BlockList, isIP, isIPv4 } from "node:net"

/**
 * Addresses that are not of the public internet, or that lead to others which are not (RFC 6890, with the registries of special
 * purpose addresses of IANA).
 */
const special = new BlockList()

const ranges: ReadonlyArray<readonly [network: string, prefix: number]> = [
  ["0.0.0.0", 8], // this network
  ["10.0.0.0", 8], // private (RFC 1918)
  ["100.64.0.0", 10], // shared by the customers of a carrier (RFC 6598)
  ["127.0.0.0", 8], // loopback
  ["169.254.0.0", 16], // link-local, and the metadata of clouds
  ["172.16.0.0", 12], // private (RFC 1918)
  ["192.0.0.0", 24], // protocol assignments
  ["192.0.2.0", 24], // documentation
  ["192.31.196.0", 24], // AS112
  ["192.52.193.0", 24], // automatic multicast tunneling
  ["192.88.99.0", 24], // relays of 6to4
  ["192.168.0.0", 16], // private (RFC 1918)
  ["192.175.48.0", 24], // AS112
  ["198.18.0.0", 15], // benchmarks
  ["198.51.100.0", 24], // documentation
  ["203.0.113.0", 24], // documentation
  ["224.0.0.0", 4], // multicast
  ["240.0.0.0", 4] // reserved, and the broadcast address
]

for (const [network, prefix] of ranges) special.addSubnet(network, prefix, "ipv4")

/** All that is given to the world (RFC 4291); whatever is outside of it is not public. */
const global = new BlockList()
global.addSubnet("2000::", 3, "ipv6")

const specialWithin: ReadonlyArray<readonly [network: string, prefix: number]> = [
  ["2001::", 23], // protocol assignments: Teredo (RFC 4380), benchmarks, ORCHID and others
  ["2001:db8::", 32], // documentation
  ["2002::", 16], // 6to4: leads to any IPv4 address (RFC 3056)
  ["2620:4f:8000::", 48], // AS112
  ["3fff::", 20] // documentation
]

const specialGlobal = new BlockList()
for (const [network, prefix] of specialWithin) specialGlobal.addSubnet(network, prefix, "ipv6")

/**
 * Whether an address is one of the public internet. IPv4 addresses within IPv6 ones (mapped, NAT64, 6to4, Teredo) are not, whatever
 * they lead to: no public name has them.
 */
export const isPublic = (address: string): boolean => {
  switch (isIP(address)) {
    case 4:
      return !special.check(address, "ipv4")
    case 6:
      return !address.includes("%") && global.check(address, "ipv6") && !specialGlobal.check(address, "ipv6")
    default:
      return false
  }
}

/** The address that a URL names in place of a host, if it does. */
export const addressOf = (hostname: string): { readonly address: string; readonly family: 4 | 6 } | undefined => {
  const address = hostname.replace(/^\[(.*)\]$/, "$1")
  return isIP(address) === 0 ? undefined : { address, family: isIPv4(address) ? 4 : 6 }
}
