/** What a node service needs of its balancer: a bid whenever one is due, from what the node knows of its own load. */
import type { BidEffect } from '../../actors/balancer/balancer.ts'

export interface Occupancy {
  readonly running: number
  readonly held: number
  readonly draining: boolean
}

export interface Balance {
  bid(occupancy: Occupancy): Omit<BidEffect, 'kind'>
  /** A turn of this type has ended here after so many ms. */
  taskEnded(type: string, lastedMs: number): void
}
