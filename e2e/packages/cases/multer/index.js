const express = require('express');
const upload = require('multer')({ storage: require('multer').memoryStorage() });
module.exports = express().post('/upload', upload.single('pic'), (req, res) =>
  res.json({ title: req.body.title, name: req.file.originalname, type: req.file.mimetype, size: req.file.size }));
