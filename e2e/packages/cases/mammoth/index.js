const mammoth = require('mammoth');
const { Document, Packer, Paragraph, TextRun, HeadingLevel } = require('docx');
module.exports = async () => {
  const doc = new Document({ sections: [{ children: [new Paragraph({ text: 'T', heading: HeadingLevel.HEADING_1 }), new Paragraph({ children: [new TextRun({ text: 'b', bold: true })] })] }] });
  return (await mammoth.convertToHtml({ buffer: await Packer.toBuffer(doc) })).value;
};
