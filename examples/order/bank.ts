/**
 * A payment service for the example: an HTTP server that charges an order once, however often it is asked with the same key.
 * It refuses the first `outages` requests with 503, as services do.
 */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Bank {
  readonly url: string
  /** Cents charged, by key. */
  readonly charges: ReadonlyMap<string, number>
  /** Requests seen, refused ones included. */
  readonly requests: () => number
  close(): Promise<void>
}

async function bodyOf(request: AsyncIterable<Buffer>): Promise<{ key: string; cents: number }> {
  const parts: Buffer[] = []
  for await (const part of request) parts.push(part)
  return JSON.parse(Buffer.concat(parts).toString())
}

/** Opens the bank on a free port of loopback. */
export async function openBank(outages: number): Promise<Bank> {
  const charges = new Map<string, number>()
  let requests = 0
  const server: Server = createServer(async (request, response) => {
    const { key, cents } = await bodyOf(request)
    requests++
    if (requests <= outages) {
      response.writeHead(503).end()
      return
    }
    if (!charges.has(key)) charges.set(key, cents)
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ receipt: `receipt-${key}` }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    charges,
    requests: () => requests,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections()
        server.close(() => resolve())
      }),
  }
}
