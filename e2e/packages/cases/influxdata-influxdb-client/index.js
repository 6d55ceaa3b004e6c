const { InfluxDB, Point } = require('@influxdata/influxdb-client');
const http = require('node:http');
let written;
const server = http.createServer(async (req, res) => {
  const body = String(Buffer.concat(await req.toArray()));
  if (req.url.startsWith('/api/v2/write')) { written = [req.url, `${body.trim()}\n`]; return res.writeHead(204).end(); }
  res.end('#datatype,string,long,long\n#group,false,false,false\n#default,_result,,\n,result,table,_value\n,,0,7\n');
});
module.exports = async () => {
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  const db = new InfluxDB({ url: `http://127.0.0.1:${server.address().port}`, token: 't' });
  const w = db.getWriteApi('o', 'b');
  w.writePoint(new Point('m').tag('tag', 'a b').floatField('f', 1.5).intField('n', 2).stringField('t', 'x"y').timestamp(1000));
  await w.close();
  const rows = await db.getQueryApi('o').collectRows('from(bucket:"b")');
  server.close();
  return { written, rows };
};
