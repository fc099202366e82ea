/**
 * Certificates for mutual TLS: an authority of one's own, and what it vouches for. Node can read X.509 but not write it, so
 * the few structures that are needed are put together here (RFC 5280); signing is Node's. ECDSA on P-256 throughout.
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
} from 'node:crypto'
import { isIP } from 'node:net'
import { TroupeError } from '../../protocol/errors.ts'

export interface Certificate {
  /** PEM text. */
  readonly cert: string
  readonly key: string
}

const dayMs = 24 * 3_600_000
export const validDays = { authority: 3_650, issued: 825 } as const

/** Returns a certificate that vouches for others, and its key. */
export function newAuthority(commonName: string): Certificate {
  const { publicKey, privateKey } = newKey()
  const name = commonNameOf(commonName)
  const body = toBeSigned(name, name, validDays.authority, publicKey, [
    extension('2.5.29.19', sequence(boolean(true)), true),
    extension('2.5.29.15', bits(0x06, 1), true), // signs certificates and revocation lists
    extension('2.5.29.14', octets(keyIdentifier(publicKey))),
  ])
  return { cert: signed(body, privateKey), key: pemOf(privateKey) }
}

/**
 * Returns a certificate that `authority` vouches for: of a server with the names and addresses by which it is reached, of a
 * client without. Throws TROUPE_INVALID_OPTION for a host that cannot stand in one.
 */
export function issueCertificate(
  authority: Certificate,
  commonName: string,
  hosts: readonly string[] = [],
): Certificate {
  const { publicKey, privateKey } = newKey()
  const signer = createPrivateKey(authority.key)
  const usage = hosts.length > 0 ? ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'] : ['1.3.6.1.5.5.7.3.2']
  const extensions = [
    extension('2.5.29.15', bits(0x80, 7), true), // signs handshakes
    extension('2.5.29.37', sequence(...usage.map(identifier))),
    extension('2.5.29.14', octets(keyIdentifier(publicKey))),
    extension('2.5.29.35', sequence(element(0x80, keyIdentifier(createPublicKey(signer))))),
  ]
  if (hosts.length > 0) extensions.push(extension('2.5.29.17', sequence(...hosts.map(hostOf))))
  const issuer = subjectOf(authority.cert)
  const body = toBeSigned(issuer, commonNameOf(commonName), validDays.issued, publicKey, extensions)
  return { cert: signed(body, signer), key: pemOf(privateKey) }
}

function newKey(): { publicKey: KeyObject; privateKey: KeyObject } {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' })
}

function pemOf(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString()
}

// --- structures of RFC 5280 -------------------------------------------------------------------------------------

const ecdsaWithSha256 = sequence(identifier('1.2.840.10045.4.3.2'))

function toBeSigned(
  issuer: Buffer,
  subject: Buffer,
  days: number,
  publicKey: KeyObject,
  extensions: readonly Buffer[],
): Buffer {
  const nowMs = Date.now()
  // A clock that is somewhat behind must not find it not yet valid.
  const validity = sequence(time(new Date(nowMs - dayMs)), time(new Date(nowMs + days * dayMs)))
  const serial = randomBytes(16)
  serial[0] = (serial[0]! & 0x3f) | 0x40
  const key = publicKey.export({ type: 'spki', format: 'der' })
  return sequence(
    element(0xa0, element(0x02, Buffer.from([2]))),
    element(0x02, serial),
    ecdsaWithSha256,
    issuer,
    validity,
    subject,
    key,
    element(0xa3, sequence(...extensions)),
  )
}

function signed(body: Buffer, key: KeyObject): string {
  const signature = sign('sha256', body, key)
  const certificate = sequence(body, ecdsaWithSha256, element(0x03, Buffer.concat([Buffer.from([0]), signature])))
  const lines = certificate.toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
}

function commonNameOf(text: string): Buffer {
  return sequence(element(0x31, sequence(identifier('2.5.4.3'), element(0x0c, Buffer.from(text)))))
}

/** The subject of a certificate made here: the sixth part of its body. */
function subjectOf(pem: string): Buffer {
  const der = Buffer.from(pem.replaceAll(/-----[^-]+-----|\s/g, ''), 'base64')
  let at = contentAt(der, contentAt(der, 0))
  for (let part = 0; part < 5; part++) at = endOf(der, at)
  return der.subarray(at, endOf(der, at))
}

function extension(id: string, value: Buffer, isCritical = false): Buffer {
  return sequence(identifier(id), ...(isCritical ? [boolean(true)] : []), octets(value))
}

function hostOf(host: string): Buffer {
  if (isIP(host) === 4) return element(0x87, Buffer.from(host.split('.').map(Number)))
  if (isIP(host) === 6) return element(0x87, addressOf(host))
  if (/^(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/.test(host)) return element(0x82, Buffer.from(host))
  throw new TroupeError('TROUPE_INVALID_OPTION', `${JSON.stringify(host)} is no host name or address`)
}

function addressOf(host: string): Buffer {
  const [head = '', tail] = host.split('::')
  const groups = (text: string) => (text === '' ? [] : text.split(':'))
  const [before, after] = [groups(head), groups(tail ?? '')]
  const all = [...before, ...Array<string>(8 - before.length - after.length).fill('0'), ...after]
  return Buffer.from(all.map((group) => group.padStart(4, '0')).join(''), 'hex')
}

function keyIdentifier(publicKey: KeyObject): Buffer {
  return createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest()
    .subarray(0, 20)
}

// --- DER --------------------------------------------------------------------------------------------------------

function element(tag: number, content: Buffer): Buffer {
  const { length } = content
  if (length < 0x80) return Buffer.concat([Buffer.from([tag, length]), content])
  const size = length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from([tag, ...size]), content])
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return element(0x30, Buffer.concat(parts))
}

function octets(content: Buffer): Buffer {
  return element(0x04, content)
}

function boolean(value: boolean): Buffer {
  return element(0x01, Buffer.from([value ? 0xff : 0]))
}

function bits(byte: number, unused: number): Buffer {
  return element(0x03, Buffer.from([unused, byte]))
}

function identifier(text: string): Buffer {
  const [first = 0, second = 0, ...rest] = text.split('.').map(Number)
  const bytes = [first * 40 + second]
  for (const part of rest) {
    const digits = [part & 0x7f]
    for (let left = part >>> 7; left > 0; left >>>= 7) digits.unshift((left & 0x7f) | 0x80)
    bytes.push(...digits)
  }
  return element(0x06, Buffer.from(bytes))
}

/** UTCTime, or GeneralizedTime from 2050 on. */
function time(instant: Date): Buffer {
  const digits = instant.toISOString().replaceAll(/[-:T]|\.\d+/g, '')
  return instant.getUTCFullYear() < 2050
    ? element(0x17, Buffer.from(digits.slice(2)))
    : element(0x18, Buffer.from(digits))
}

function contentAt(der: Buffer, at: number): number {
  const size = der[at + 1]!
  return at + 2 + (size < 0x80 ? 0 : size & 0x7f)
}

function endOf(der: Buffer, at: number): number {
  const size = der[at + 1]!
  const length = size < 0x80 ? size : der.readUIntBE(at + 2, size & 0x7f)
  return contentAt(der, at) + length
}
