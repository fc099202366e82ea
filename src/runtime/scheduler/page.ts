/** The rows of one answer, as many as fit: a message holds so many bytes, whatever the rows have to say. */
export class Page<Row> {
  readonly rows: Row[] = []
  private readonly rowsMax: number
  private bytesLeft: number

  constructor(rowsMax: number, bytesMax: number) {
    this.rowsMax = rowsMax
    this.bytesLeft = bytesMax
  }

  /** False when the row did not fit any more; the first always does. */
  add(row: Row): boolean {
    if (this.rows.length >= this.rowsMax) return false
    this.bytesLeft -= Buffer.byteLength(JSON.stringify(row)) + 1
    if (this.bytesLeft < 0 && this.rows.length > 0) return false
    this.rows.push(row)
    return true
  }
}
