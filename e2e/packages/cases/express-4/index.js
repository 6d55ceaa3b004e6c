const express = require('express');
const app = express();
app.get('/old/*', (req, res) => res.json({ rest: req.params[0], list: req.query.list, proto: req.protocol })); // 5 has neither
module.exports = app;
