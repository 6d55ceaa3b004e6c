const { MongoClient } = require('mongodb');
const { BSON } = require('mongodb');
const net = require('node:net');
const docs = [];
let asked;
function answer(m) {
  if (m.hello || m.ismaster || m.isMaster) return { isWritablePrimary: true, maxWireVersion: 25, minWireVersion: 0, maxBsonObjectSize: 16777216, maxMessageSizeBytes: 48000000, maxWriteBatchSize: 100000, ok: 1 };
  if (m.insert) {
    if (m.documents.some(d => docs.some(e => e._id === d._id))) return { ok: 1, n: 0, writeErrors: [{ index: 0, code: 11000, errmsg: 'dup' }] };
    docs.push(...m.documents);
    return { ok: 1, n: m.documents.length };
  }
  if (m.find) {
    const { find, filter, sort, limit } = m;
    asked = { find, filter, sort, limit };
    return { ok: 1, cursor: { id: 0n, ns: 'd.c', firstBatch: docs.filter(d => d.n > filter.n.$gt).slice(0, limit) } };
  }
  return { ok: 1 };
}
function read(body) { // the sections of an OP_MSG: documents, and sequences of them
  let at = 4, out = {};
  while (at < body.length) {
    if (body[at] === 0) { const n = body.readInt32LE(at + 1); Object.assign(out, BSON.deserialize(body.subarray(at + 1, at + 1 + n))); at += 1 + n; continue; }
    const end = at + 1 + body.readInt32LE(at + 1), zero = body.indexOf(0, at + 5);
    const list = (out[body.toString('utf8', at + 5, zero)] = []);
    for (at = zero + 1; at < end;) { const n = body.readInt32LE(at); list.push(BSON.deserialize(body.subarray(at, at + n))); at += n; }
  }
  return out;
}
const server = net.createServer(socket => {
  let buf = Buffer.alloc(0);
  socket.on('error', () => {}).on('data', d => {
    buf = Buffer.concat([buf, d]);
    while (buf.length >= 16 && buf.length >= buf.readInt32LE(0)) {
      const n = buf.readInt32LE(0), op = buf.readInt32LE(12), id = buf.readInt32LE(4), body = buf.subarray(16, n);
      const doc = BSON.serialize(answer(op === 2013 ? read(body) : { hello: 1 }));
      const head = op === 2013 ? Buffer.alloc(5) : Buffer.alloc(20), frame = Buffer.alloc(16);
      if (op !== 2013) head.writeInt32LE(1, 16);
      [16 + head.length + doc.length, 0, id, op === 2013 ? 2013 : 1].forEach((v, i) => frame.writeInt32LE(v, i * 4));
      socket.write(Buffer.concat([frame, head, doc]));
      buf = buf.subarray(n);
    }
  });
});
module.exports = async () => {
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  const client = new MongoClient(`mongodb://127.0.0.1:${server.address().port}/?directConnection=true`);
  const c = client.db('d').collection('c');
  const { insertedCount } = await c.insertMany([{ _id: 1, n: 1 }, { _id: 2, n: 5 }]);
  const rows = await c.find({ n: { $gt: 3 } }).sort({ n: -1 }).limit(1).toArray();
  const duplicate = await c.insertOne({ _id: 1 }).catch(e => e.code);
  await client.close();
  server.close();
  return { inserted: insertedCount, rows, asked, duplicate };
};
