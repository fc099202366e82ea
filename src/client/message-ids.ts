/** Ids that are unique without asking anybody: a random start per connection, and a count. */
import { randomBytes } from 'node:crypto'

export class MessageIds {
  private readonly start = randomBytes(12).toString('hex')
  private count = 0

  next(): string {
    this.count += 1
    return `${this.start}-${this.count.toString(36)}`
  }
}
