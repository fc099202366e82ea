/**
 * One life of a node process, the same in every partition that it is a member of: an incarnation with a random id. Fenced in
 * one partition means dead in all of them (rule 3); the next life begins in all of them as well.
 */
import { randomBytes } from 'node:crypto'
import type { TroupeError } from '../../protocol/errors.ts'

/** What a life means to the node in one partition. */
export interface Membership {
  /** The incarnation is over. */
  lifeEnded(incarnation: string, error: TroupeError): void
  /** The process is to leave. */
  askedToDrain(): void
}

export class NodeLife {
  private readonly memberships: Membership[] = []
  private current: string | undefined

  add(membership: Membership): void {
    this.memberships.push(membership)
  }

  /** The present incarnation; a new one if the last is over. */
  get incarnation(): string {
    this.current ??= randomBytes(8).toString('hex')
    return this.current
  }

  /** Ends this incarnation, unless it is over already. */
  end(incarnation: string, error: TroupeError): void {
    if (incarnation !== this.current) return
    this.current = undefined
    for (const membership of this.memberships) membership.lifeEnded(incarnation, error)
  }

  drain(): void {
    for (const membership of this.memberships) membership.askedToDrain()
  }
}
