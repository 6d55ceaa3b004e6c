const Airtable = require('airtable');
const http = require('node:http');
const asked = [];
const server = http.createServer((req, res) => {
  asked.push(decodeURIComponent(req.url));
  const more = !req.url.includes('offset');
  res.setHeader('content-type', 'application/json').end(JSON.stringify({ records: [{ id: 'r', fields: { Name: more ? 'a' : 'b' } }], offset: more ? 'o1' : undefined }));
});
module.exports = async () => {
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  const base = new Airtable({ apiKey: 'k', endpointUrl: `http://127.0.0.1:${server.address().port}` }).base('app1');
  const records = await base('Tasks').select({ filterByFormula: 'Done', pageSize: 1 }).all();
  server.close();
  return { asked, names: records.map(r => r.get('Name')) };
};
