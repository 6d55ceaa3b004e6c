const express = require('express');
const app = express();
app.use(express.json());
app.post('/orders/:id', async (req, res) => res.status(201).json({ id: req.params.id, total: req.body.n * 10, x: req.query.x }));
module.exports = app;
