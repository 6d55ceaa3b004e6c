const { google } = require('googleapis');
const http = require('node:http');
let sent;
const server = http.createServer(async (req, res) => {
  sent = [req.method, req.url, req.headers.authorization, JSON.parse(Buffer.concat(await req.toArray()))];
  res.setHeader('content-type', 'application/json').end('{"updates":{"updatedRows":2}}');
});
module.exports = async () => {
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  const auth = new google.auth.OAuth2('id', 'secret');
  auth.setCredentials({ access_token: 'at' });
  const sheets = google.sheets({ version: 'v4', auth, rootUrl: `http://127.0.0.1:${server.address().port}/` });
  const { data } = await sheets.spreadsheets.values.append({ spreadsheetId: 's1', range: 'A1:B2', valueInputOption: 'RAW', requestBody: { values: [[1, 2]] } });
  server.close();
  return { sent, rows: data.updates.updatedRows };
};
