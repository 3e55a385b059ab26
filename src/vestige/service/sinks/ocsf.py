"""Detection Findings of the Open Cybersecurity Schema Framework, one a row."""

from __future__ import annotations

from datetime import UTC, datetime

from vestige import __version__
from vestige.service.sinks.base import Row
from vestige.service.sinks.finding import Finding, Urgency
from vestige.service.sinks.lines import json_line

VERSION = "1.3.0"
"""Of the schema."""
CATEGORY_UID, CLASS_UID = 2, 2004
CREATE, UPDATE, CLOSE = 1, 2, 3
ACTIVITIES = {
    "alert-corrected": UPDATE,
    "alert-withdrawn": CLOSE,
    "incident-grew": UPDATE,
    "incident-closed": CLOSE,
}
ACTIVITY_NAMES = {CREATE: "Create", UPDATE: "Update", CLOSE: "Close"}
SEVERITIES = {
    Urgency.TOLD: (1, "Informational"),
    Urgency.NOTICE: (2, "Low"),
    Urgency.ALERT: (3, "Medium"),
    Urgency.INCIDENT: (4, "High"),
}
STATUS_NEW = 1
"""Yet to be reviewed: that an incident is closed means that it grows no more, not that anybody looked."""
LEARNING = 4
"""The type of an analytic that has learnt (ML/DL)."""


def ocsf(row: Row) -> bytes | None:
    """One finding: an alert or an incident by its `finding_info.uid`, tied together by
    `metadata.correlation_uid`."""
    finding = Finding.of(row)
    if finding is None:
        return None
    activity = ACTIVITIES.get(finding.action, CREATE)
    severity_id, severity = SEVERITIES[finding.urgency]
    time = milliseconds(finding.time or datetime.now(UTC))
    info: Row = {
        "uid": finding.id,
        "title": finding.title,
        "types": [finding.action],
        "analytic": {
            "type_id": LEARNING,
            "type": "Learning (ML/DL)",
            "name": "vestige",
            "version": __version__,
        },
    }
    if finding.reasons:
        info["desc"] = "; ".join(finding.reasons)
    document: Row = {
        "activity_id": activity,
        "activity_name": ACTIVITY_NAMES[activity],
        "category_uid": CATEGORY_UID,
        "category_name": "Findings",
        "class_uid": CLASS_UID,
        "class_name": "Detection Finding",
        "type_uid": CLASS_UID * 100 + activity,
        "type_name": f"Detection Finding: {ACTIVITY_NAMES[activity]}",
        "severity_id": severity_id,
        "severity": severity,
        "status_id": STATUS_NEW,
        "status": "New",
        "time": time,
        "message": finding.message,
        "count": finding.count,
        "finding_info": info,
        "metadata": {
            "version": VERSION,
            "product": {"name": "vestige", "vendor_name": "vestige", "version": __version__},
        },
    }
    if finding.incident:
        document["metadata"]["correlation_uid"] = finding.incident
    if finding.first is not None:
        document["start_time"] = info["first_seen_time"] = milliseconds(finding.first)
    if finding.last is not None:
        document["end_time"] = info["last_seen_time"] = milliseconds(finding.last)
    if finding.host:
        document["resources"] = [{"name": finding.host, "type": "host"}]
    if finding.text or finding.file:
        document["evidences"] = [{"data": {"file": finding.file or None, "text": finding.text or None}}]
    document["unmapped"] = finding.extra
    return json_line(document)


def milliseconds(time: datetime) -> int:
    """Since 1970, as the schema's `timestamp_t` has it."""
    return int(time.timestamp() * 1000)
