/** The live incarnations of a ledger, for whoever watches their health. */
import type { Member } from '../../actors/supervision/watched.ts'
import type { MemberSource } from '../health-watch.ts'
import type { LedgerReader } from './ledger-reader.ts'

export class LedgerMembers implements MemberSource {
  readonly #reader: LedgerReader

  constructor(reader: LedgerReader) {
    this.#reader = reader
  }

  live(): readonly Member[] {
    const members: Member[] = []
    for (const { node, incarnation, running } of this.#reader.ledger.state.membersBySubject.values()) {
      members.push({ node, incarnation, tasks: running.size })
    }
    return members
  }

  caughtUp(): boolean {
    return this.#reader.live
  }

  onChange(listener: () => void): () => void {
    return this.#reader.listen({
      folded: (changes) => {
        if (changes.some(({ what }) => what === 'joined' || what === 'left' || what === 'fenced')) listener()
      },
      replaced: () => listener(),
    })
  }
}
